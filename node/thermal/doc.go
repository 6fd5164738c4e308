// Package thermal is what a blade's analog sensors measure: a model of its
// heat and power, driven by the processor time that its VM really takes.
package thermal
