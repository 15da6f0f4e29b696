"""Was a backbone trained on pictures as RT-DETRv2 feeds them, and do its layers fit its norms?"""
