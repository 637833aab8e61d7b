"""Bring Cassandra up to date: `python -m cassandra_schema`; with `--check`, only say whether it is."""

import argparse
import logging
import sys

from cassandra import DriverException, InvalidRequest, RequestExecutionException
from cassandra.cluster import NoHostAvailable

from cassandra_schema.migrations import SchemaError, read_migrations
from cassandra_schema.server import current_version, prepare
from cassandra_schema.settings import CassandraSchemaSettings
from common.cassandra import connect
from common.settings import SettingsError


def main() -> int:
    parser = argparse.ArgumentParser(prog="cassandra_schema", description="Bring Cassandra up to date.")
    parser.add_argument("--check", action="store_true", help="fail unless the schema is up to date")
    logging.getLogger("cassandra").setLevel(logging.CRITICAL)
    try:
        return check() if parser.parse_args().check else update()
    except (SettingsError, SchemaError) as error:
        message = str(error)
    except (NoHostAvailable, DriverException, RequestExecutionException, InvalidRequest) as error:
        message = f"Cassandra could not be prepared: {error}"
    print(message, file=sys.stderr)
    return 1


def update() -> int:
    migrations = read_migrations()
    for change in prepare(CassandraSchemaSettings.load(), migrations):
        print(f"cassandra_schema: {change}", flush=True)
    print(f"cassandra_schema: version {migrations[-1].version} was in place", flush=True)
    return 0


def check() -> int:
    settings = CassandraSchemaSettings.load()
    wanted = read_migrations()[-1].version
    session = connect(settings, "ops", settings.cassandra_ops_password)
    try:
        found = current_version(session)
    finally:
        session.cluster.shutdown()
    print(f"The schema was at version {found} of {wanted}.")
    return 0 if found == wanted else 1


if __name__ == "__main__":
    sys.exit(main())
