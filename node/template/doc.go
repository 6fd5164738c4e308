// Package template reads what a node's hardware is: a YAML file of its analog
// sensors and where their values come from, of the air around it, of its FRU
// devices, and of records of a real machine's that it is to look like.
//
// default.yaml is what nodes have that nobody gives a template, and its
// comments describe the format.
package template
