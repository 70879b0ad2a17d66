"""Every table and figure of the two papers, beside its published numbers, with a verdict for every claim.

Audits are run by ``laboratory``; everything after that is computed from records, without torch.
"""
