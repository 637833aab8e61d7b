"""The Streamlit pages: candles, the forecast and the actual price, and scenarios of its model."""
