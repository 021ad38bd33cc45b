"""How long texts may be and how many of them there may be, in characters and items: the same over HTTP and in files."""

SKU = 64
PRODUCT_NAME = 255
DESCRIPTION = 4000
CATEGORY = 128
UNIT = 16
BARCODE = 64
BARCODES = 20
REORDER_POINT = 1_000_000_000_000
"""The largest, in base units."""
ATTRIBUTES = 64
ATTRIBUTE_KEY = 64
ATTRIBUTE_VALUE = 1024

CODE = 64
"""Of a warehouse or a location."""
PLACE_NAME = 255
"""Of a warehouse or a location."""
ADDRESS = 512

KEY_NAME = 100
"""Of an API key."""

LOT = 64
REFERENCE = 128
REASON = 64
