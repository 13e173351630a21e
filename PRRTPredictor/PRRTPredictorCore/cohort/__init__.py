"""``cohort.csv`` in; checked patients, eligibility counts, Table 1 and made patients out.

Never trains, never keeps an identity: patients go on under keyed study codes.
"""
