package observe

import (
	"crypto/sha256"
	"encoding/hex"
	"encoding/json"
	"errors"
	"fmt"

	"pam_polyinst/internal/config"
	"pam_polyinst/internal/dirfd"
)

// StateDir is where what must outlive a boot is kept, root-only.
var StateDir = "/var/lib/polyinst"

// lastGoodFile is the last accepted configuration, in one file.
const lastGoodFile = "last-good.json"

// lastGood is its content: the files as they were, with their digests.
type lastGood struct {
	Files []goodFile
}

type goodFile struct {
	Name   string
	Data   string
	SHA256 string
}

// LastGood reads the configuration that was accepted last, and trusts it only
// as root's file with the digests of its inputs.
func LastGood() (Files, error) {
	src, err := readFile(StateDir+"/"+lastGoodFile, true)
	if dirfd.IsNotExist(err) {
		return Files{}, errors.New("none was accepted: `polyinst check --accept` keeps one")
	}
	if err != nil {
		return Files{}, err
	}
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

// LastGoodName is the name of the file below StateDir.
func LastGoodName() string { return lastGoodFile }

func digest(data string) string {
	sum := sha256.Sum256([]byte(data))
	return hex.EncodeToString(sum[:])
}
