"""The process of a job: started, limited, ended with all that it has started. `launch/warden.py` and the
worker's loop know the `ward`, and `doctor` the `memory` limit."""
