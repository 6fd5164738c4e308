package guest

import (
	"bytes"
	"compress/gzip"
	"context"
	"debug/elf"
	"errors"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"strings"
)

// modinfo is what a module says of itself in its .modinfo section, a list of
// NUL-terminated "key=value" strings (Linux include/linux/moduleinfo).
type modinfo struct {
	release string   // first word of vermagic
	depends []string // modules whose symbols it uses
	softPre []string // modules it wants loaded before it
}

func parseModinfo(module []byte) (modinfo, error) {
	file, err := elf.NewFile(bytes.NewReader(module))
	if err != nil {
		return modinfo{}, fmt.Errorf("not a kernel module: %w", err)
	}
	section := file.Section(".modinfo")
	if section == nil {
		return modinfo{}, errors.New("not a kernel module: no .modinfo section")
	}
	data, err := section.Data()
	if err != nil {
		return modinfo{}, fmt.Errorf("modinfo: %w", err)
	}
	return parseModinfoSection(data), nil
}

func parseModinfoSection(data []byte) modinfo {
	var info modinfo
	for field := range strings.SplitSeq(string(data), "\x00") {
		key, value, _ := strings.Cut(field, "=")
		switch key {
		case "vermagic":
			info.release, _, _ = strings.Cut(value, " ")
		case "depends":
			info.depends = append(info.depends, moduleNames(strings.Split(value, ","))...)
		case "softdep":
			info.softPre = append(info.softPre, moduleNames(softPre(value))...)
		}
	}
	return info
}

// softPre takes the modules after "pre:" out of "pre: a b post: c".
func softPre(value string) []string {
	_, pre, _ := strings.Cut(value, "pre:")
	pre, _, _ = strings.Cut(pre, "post:")
	return strings.Fields(pre)
}

func moduleNames(words []string) []string {
	var names []string
	for _, word := range words {
		if word != "" {
			names = append(names, strings.ReplaceAll(word, "-", "_"))
		}
	}
	return names
}

// readModule reads a module file and takes off its compression; the guest's
// modprobe and custom kernels cannot be trusted to know every kind.
func readModule(file string) ([]byte, error) {
	switch filepath.Ext(file) {
	case ".ko":
		return os.ReadFile(file)
	case ".gz":
		return gunzip(file)
	case ".xz":
		return run(context.Background(), "", "xz", "-dc", file)
	case ".zst":
		return run(context.Background(), "", "zstd", "-dcq", file)
	}
	return nil, fmt.Errorf("%s: unknown compression", file)
}

func gunzip(file string) ([]byte, error) {
	raw, err := os.Open(file)
	if err != nil {
		return nil, err
	}
	defer raw.Close()
	zip, err := gzip.NewReader(raw)
	if err != nil {
		return nil, fmt.Errorf("%s: %w", file, err)
	}
	return io.ReadAll(zip)
}
