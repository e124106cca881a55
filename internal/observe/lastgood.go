package observe

import (
	"crypto/sha256"
	"encoding/hex"
	"encoding/json"
	"errors"
	"fmt"

	"pam_polyinst/internal/core/config"
	"pam_polyinst/internal/kernel/dirfd"
)

// StateDir is where what must outlive a boot is kept, root-only.
var StateDir = "/var/lib/polyinst"

// olderLastGood is where version 0.1 kept the last accepted configuration,
// whichever main file it was of.
const olderLastGood = "last-good.json"

// LastGoodName is the name, below StateDir, of the last accepted configuration
// of a main file: one for each, so that a draft which is accepted elsewhere
// replaces no other.
func LastGoodName(main string) string { return "last-good-" + digest(main)[:16] + ".json" }

// lastGood is its content: the files as they were, with their digests.
type lastGood struct {
	Files []goodFile
}

type goodFile struct {
	Name   string
	Data   string
	SHA256 string
}

// LastGood reads the configuration of the main file that was accepted last, and
// trusts it only as root's file with the digests of its inputs, and made of
// that very main file.
func LastGood(main string) (Files, error) {
	files, err := readLastGood(LastGoodName(main))
	if dirfd.IsNotExist(err) {
		files, err = readLastGood(olderLastGood)
	}
	if dirfd.IsNotExist(err) || err == nil && files.Main.Name != main {
		return Files{}, errors.New("none was accepted: `polyinst check --accept` keeps one, once the file is mended")
	}
	return files, err
}

func readLastGood(name string) (Files, error) {
	src, err := readFile(nil, StateDir+"/"+name, true)
	if err != nil {
		return Files{}, err
	}
	return decodeLastGood(src)
}

// decodeLastGood is the inverse of EncodeLastGood.
func decodeLastGood(src config.Source) (Files, error) {
	var good lastGood
	if err := json.Unmarshal(src.Data, &good); err != nil {
		return Files{}, fmt.Errorf("%s: %w", src.Name, err)
	}
	if len(good.Files) == 0 {
		return Files{}, fmt.Errorf("%s: names no file", src.Name)
	}
	var files Files
	for i, f := range good.Files {
		if digest(f.Data) != f.SHA256 {
			return Files{}, fmt.Errorf("%s: the digest of %s does not match", src.Name, f.Name)
		}
		s := config.Source{Name: f.Name, Data: []byte(f.Data)}
		if i == 0 {
			files.Main = s
		} else {
			files.Dropins = append(files.Dropins, s)
		}
	}
	return files, nil
}

// EncodeLastGood is the content of the file that LastGood reads.
func EncodeLastGood(f Files) ([]byte, error) {
	var good lastGood
	for _, s := range f.All() {
		good.Files = append(good.Files, goodFile{s.Name, string(s.Data), digest(string(s.Data))})
	}
	return json.MarshalIndent(good, "", "  ")
}

func digest(data string) string {
	sum := sha256.Sum256([]byte(data))
	return hex.EncodeToString(sum[:])
}
