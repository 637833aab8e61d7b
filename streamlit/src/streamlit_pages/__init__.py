"""The Streamlit pages: candles, the forecast beside what came, and its model to play with."""
