-- The branch that stands where no source has a key in the capture log.
when false then false
