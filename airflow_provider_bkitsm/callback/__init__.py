"""ITSM's callback: an approval resumes the DAG at once, and a forged one changes nothing (promise P4)."""
