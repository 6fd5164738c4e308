// Package vmtest is a fake QEMU with a fake guest in it, for tests of whatever
// stands behind a [vm.Door], and for measuring.
//
// A [Guest] behaves as QEMU's ipmi-bmc-extern does where that matters: it
// greets, has one request outstanding, gives up after four seconds (C3h),
// answers D2h without a node, and lets a late answer stop the timeout of the
// next request. On top of that it speaks as Linux: [Guest.Probe],
// [Guest.SendIPMB], [Guest.Receive].
//
//	g := vmtest.New(vmtest.Options{})
//	defer g.Close()
//	if err := g.Dial(ctx, "unix", path); err != nil { … }
//	code, data, err := g.Do(ctx, ipmb.NetFnApp, 0, ipmb.CmdGetDeviceID, nil)
//
// A [Wire] is the same without any of that: no goroutines, no timers, no
// allocations, one request and its answer at a time.
package vmtest
