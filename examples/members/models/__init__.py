"""The application at three points of its history."""
