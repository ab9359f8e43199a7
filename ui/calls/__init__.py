"""What a program can ask of the API: one file per noun, one method per request. `ui.client.Likeness` has them all."""
