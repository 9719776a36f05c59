"""The user's proof: every way out that we know of, tried from inside, first where there is no lock, then against it.

`catalogue` and `attacks` are what is tried, `attempter` is the confined process that tries it, `nowhere` is the place
without a lock, `ground` the place with one, `verdict` what each attempt came to, `runner` all of it in order.
"""
