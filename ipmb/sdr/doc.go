// Package sdr is the format of sensor data records.
//
//	record id 2  version 51  type  length of the rest  key fields  body
//
// A record is a [Body] behind a [Header]; the repository that holds it gives
// it its id. Numbers are little-endian (IPMI 2.0 §43; offsets as in FreeIPMI's
// record-format templates and OpenIPMI's entity.c and sensor.c).
package sdr
