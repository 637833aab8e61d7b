# A Debian with systemd, and what `./market up` needs of it as an ordinary user.
FROM debian:bookworm-slim
RUN mkdir -p /usr/share/man/man1 \
    && apt-get -qq update \
    && apt-get -qq install -y --no-install-recommends ca-certificates maven openjdk-17-jre-headless procps \
        python3.11 systemd \
    && rm -rf /var/lib/apt/lists/* \
    && useradd --create-home market \
    && install -d -o market -g market /home/market/.cache /home/market/.cache/trading-data-dashboard
STOPSIGNAL SIGRTMIN+3
CMD ["/lib/systemd/systemd"]
