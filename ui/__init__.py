"""The page. It talks to the API over HTTP and imports nothing else of Likeness."""
