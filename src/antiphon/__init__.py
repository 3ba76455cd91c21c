"""A self-hosted server for OpenAI's Responses and Conversations APIs, on top of any model."""

__version__ = "0.1.0"
