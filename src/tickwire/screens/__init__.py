"""The filter language: text, syntax tree, normal form, compiled form and evaluation. The code does no I/O."""
