"""What COCO fixes: its 80 categories, which use 80 of the ids 1..90, and its twelve figures."""

_UNUSED_IDS = frozenset({12, 26, 29, 30, 45, 66, 68, 69, 71, 83})

COCO_CATEGORY_IDS = tuple(i for i in range(1, 91) if i not in _UNUSED_IDS)
COCO_LABELS = {category_id: label for label, category_id in enumerate(COCO_CATEGORY_IDS)}

# The figures of an evaluation, in the order of the COCO summary.
STATISTICS = (
    "AP",
    "AP50",
    "AP75",
    "AP_small",
    "AP_medium",
    "AP_large",
    "AR_1",
    "AR_10",
    "AR_100",
    "AR_small",
    "AR_medium",
    "AR_large",
)
