package node

import (
	"fmt"

	"github.com/google/uuid"

	"github.com/midplane-project/midplane/internal/version"
	"github.com/midplane-project/midplane/ipmb/fru"
	"github.com/midplane-project/midplane/ipmb/mc"
	"github.com/midplane-project/midplane/ipmb/sdr"
)

// What a node that nobody has written to says of itself.
const (
	maker       = "Midplane"
	makerOfVM   = "QEMU"
	productNode = "Midplane node"
	productVM   = "QEMU VM"
)

// frus are the controller's FRU devices: those of a list, and FRU 0 as far as
// it is not among them.
func (id Identity) frus(instance uuid.UUID, list []mc.FRU) ([]mc.FRU, error) {
	for _, f := range list {
		if f.ID == 0 {
			return list, nil
		}
	}
	content, err := id.inventory(instance).Marshal()
	if err != nil {
		return nil, fmt.Errorf("FRU 0 of %s: %w", id.Addr, err)
	}
	return append([]mc.FRU{{ID: 0, Content: content}}, list...), nil
}

// inventory is what is true of the node: its controller is the board, its VM
// the product. Nobody knows when either was made.
func (id Identity) inventory(instance uuid.UUID) *fru.Inventory {
	serial := fru.NewText(instance.String())
	inv := &fru.Inventory{
		Board: &fru.Board{
			Language: fru.English, Manufacturer: fru.NewText(maker), Product: fru.NewText(productNode),
			Serial: serial, Part: fru.NewText(id.Profile),
		},
		Product: &fru.Product{
			Language: fru.English, Manufacturer: fru.NewText(maker), Name: fru.NewText(productNode),
			Part: fru.NewText(id.part()), Version: fru.NewText(version.Get()),
			Serial: serial, Asset: fru.NewText(id.Name),
		},
	}
	if id.VM {
		inv.Product.Manufacturer, inv.Product.Name = fru.NewText(makerOfVM), fru.NewText(productVM)
		inv.Product.Serial = fru.NewText(uuid.UUID(id.SystemGUID).String())
	}
	return inv
}

// part is the profile, and the system interface where there can be one.
func (id Identity) part() string {
	if id.Interface == "" {
		return id.Profile
	}
	return id.Profile + "-" + id.Interface
}

// fruLocators name the FRU devices behind the controller. FRU 0 is its own,
// which its own locator stands for.
func (id Identity) fruLocators(list []mc.FRU) (out []sdr.Body) {
	for _, f := range list {
		if f.ID != 0 {
			out = append(out, f.Locator(id.Addr))
		}
	}
	return out
}
