"""The 80 categories of the COCO detection task, which use 80 of the ids 1..90."""

_UNUSED_IDS = frozenset({12, 26, 29, 30, 45, 66, 68, 69, 71, 83})

COCO_CATEGORY_IDS = tuple(i for i in range(1, 91) if i not in _UNUSED_IDS)
COCO_LABELS = {category_id: label for label, category_id in enumerate(COCO_CATEGORY_IDS)}
