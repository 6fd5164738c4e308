// Package attack holds the attacks on the doors that strangers reach, each a
// test named after the item S1 to S14 of docs/security.md: it runs against the
// real listener of a real node, and shows the refusal. The console that
// attacks is written by the specification alone and shares no code with the
// door, so that neither hides a fault of the other.
package attack
