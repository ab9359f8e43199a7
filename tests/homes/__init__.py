"""Home folders made by released versions, as those versions left them. They must open for ever (promise 34)."""
