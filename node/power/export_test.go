package power

// NewHookEvery is NewHook with another pace, for tests.
var NewHookEvery = newHook
