"""Checks of the commands in docs/translation.md."""
from support import check_minted

CHECKS = {"translation-mint": check_minted}
