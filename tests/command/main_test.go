// Package command has the stories of the command, each subcommand in a file of its own.
package command

import (
	"testing"

	"pam_polyinst/tests/kit"
)

func TestMain(m *testing.M) { kit.Main(m) }
