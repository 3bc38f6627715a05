"""How well codes retrieve: measures that know ties."""
