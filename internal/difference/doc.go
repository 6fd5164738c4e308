// Package difference holds a test that asks a node and OpenIPMI's ipmi_sim the
// same questions, as the guest of each, and explains what they answer
// differently. It carries the build tag e2e; make e2e runs it.
package difference
