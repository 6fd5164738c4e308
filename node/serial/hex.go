package serial

import "bytes"

// parseHex reads pairs of hex digits with any white space between them.
func parseHex(line []byte) ([]byte, error) {
	var out []byte
	for line = bytes.TrimSpace(line); len(line) > 0; line = bytes.TrimSpace(line) {
		if len(line) < 2 {
			return nil, ErrHex
		}
		hi, lo := hexDigit(line[0]), hexDigit(line[1])
		if hi < 0 || lo < 0 {
			return nil, ErrHex
		}
		out = append(out, byte(hi<<4|lo))
		line = line[2:]
	}
	return out, nil
}

func hexDigit(x byte) int {
	switch {
	case '0' <= x && x <= '9':
		return int(x - '0')
	case 'a' <= x && x <= 'f':
		return int(x-'a') + 10
	case 'A' <= x && x <= 'F':
		return int(x-'A') + 10
	}
	return -1
}
