"""The probe: can a linear classifier name objects by the features of a backbone?"""
