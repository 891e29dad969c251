"""The WebSocket at `/` and `/ws`: a dialog frame by frame. See docs/websocket.md for the frames."""
