"""The API's JSON as types."""
