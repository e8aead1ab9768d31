"""OGSRL's study: policies held to what clinicians know and to what is safe."""
