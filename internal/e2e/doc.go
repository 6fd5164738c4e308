// Package e2e holds the acceptance tests: real QEMU guests, real ipmitool, real
// processes killed. They carry the build tag e2e and need root for network
// namespaces and a small file system; make e2e runs them.
package e2e
