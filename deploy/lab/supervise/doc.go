// Package supervise keeps a shelf's processes as a plan says, from the
// background and without being needed: everything it knows is in files, its
// children are in sessions of their own, and after its death the next
// supervisor adopts them.
//
// Under a shelf's directory:
//
//	run/plan.json          what shall run, written by midplane up
//	run/NAME.json          what does run, written by the supervisor
//	run/supervisor.lock    held by the one supervisor
//	hold/NAME              NAME stays down: it was killed on purpose
//	logs/NAME.log          what it prints, bounded
//
// A slash in a process's name is a dash in file names. The supervisor looks at
// plan and holds four times a second, and at once on SIGHUP.
package supervise
