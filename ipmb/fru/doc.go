// Package fru is the format of FRU information: what a field replaceable unit
// says of itself in its EEPROM (Platform Management FRU Information Storage
// Definition 1.0).
//
//	common header 8  internal use  chassis info  board info  product info  multirecords
//
// Areas begin at multiples of 8 bytes and end with a checksum that makes their
// sum zero; their texts are fields behind a type/length byte, up to the end
// marker C1h. Unmarshal reads what can be read of a damaged EEPROM.
package fru
