package kubetest

import (
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/x509"
	"crypto/x509/pkix"
	"encoding/pem"
	"math/big"
	"net"
	"os"
	"path/filepath"
	"time"
)

// certLife is how long certificates hold: longer than any run, too short to be used for anything else.
const certLife = 24 * time.Hour

// clockSlack is how far back certificates begin, for a clock that is set while tests run.
const clockSlack = time.Hour

// serialBits is the size of a random serial number, as RFC 5280 asks for (at most 20 octets).
const serialBits = 120

// pair is a certificate with its key, both in PEM.
type pair struct{ cert, key []byte }

// authority signs the certificates of one cluster. One serves for clients, servers and the front proxy.
type authority struct {
	cert *x509.Certificate
	key  *ecdsa.PrivateKey
	pem  []byte
}

func newAuthority() (*authority, error) {
	key, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		return nil, err
	}
	template, err := certificate(pkix.Name{CommonName: "kubetest"})
	if err != nil {
		return nil, err
	}
	template.IsCA, template.BasicConstraintsValid = true, true
	template.KeyUsage |= x509.KeyUsageCertSign
	der, err := x509.CreateCertificate(rand.Reader, template, template, key.Public(), key)
	if err != nil {
		return nil, err
	}
	cert, err := x509.ParseCertificate(der)
	if err != nil {
		return nil, err
	}
	return &authority{cert, key, pemOf("CERTIFICATE", der)}, nil
}

// user signs a certificate that the API server takes for this user in these groups.
func (a *authority) user(name string, groups ...string) (pair, error) {
	return a.sign(pkix.Name{CommonName: name, Organization: groups}, x509.ExtKeyUsageClientAuth)
}

// server signs a certificate for a server on loopback.
func (a *authority) server(name string) (pair, error) {
	return a.sign(pkix.Name{CommonName: name}, x509.ExtKeyUsageServerAuth)
}

func (a *authority) sign(subject pkix.Name, usage x509.ExtKeyUsage) (pair, error) {
	key, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		return pair{}, err
	}
	template, err := certificate(subject)
	if err != nil {
		return pair{}, err
	}
	template.ExtKeyUsage = []x509.ExtKeyUsage{usage}
	if usage == x509.ExtKeyUsageServerAuth {
		template.IPAddresses = []net.IP{net.IPv4(127, 0, 0, 1)}
		template.DNSNames = []string{"localhost", "kubernetes.default.svc"}
	}
	der, err := x509.CreateCertificate(rand.Reader, template, a.cert, key.Public(), a.key)
	if err != nil {
		return pair{}, err
	}
	keyPEM, err := keyToPEM(key)
	return pair{pemOf("CERTIFICATE", der), keyPEM}, err
}

func certificate(subject pkix.Name) (*x509.Certificate, error) {
	serial, err := rand.Int(rand.Reader, new(big.Int).Lsh(big.NewInt(1), serialBits))
	if err != nil {
		return nil, err
	}
	now := time.Now()
	return &x509.Certificate{
		SerialNumber: serial, Subject: subject, NotBefore: now.Add(-clockSlack), NotAfter: now.Add(certLife),
		KeyUsage: x509.KeyUsageDigitalSignature | x509.KeyUsageKeyEncipherment,
	}, nil
}

func keyToPEM(key *ecdsa.PrivateKey) ([]byte, error) {
	der, err := x509.MarshalPKCS8PrivateKey(key)
	if err != nil {
		return nil, err
	}
	return pemOf("PRIVATE KEY", der), nil
}

func pemOf(kind string, der []byte) []byte {
	return pem.EncodeToMemory(&pem.Block{Type: kind, Bytes: der})
}

// Names of the files that the programs are given.
const (
	caFile         = "ca.crt"
	accountKeyFile = "accounts.key" // signs ServiceAccounts' tokens
	accountPubFile = "accounts.pub"
)

// writePKI fills dir with what the programs read: the authority's certificate, the API server's own pair, its pair
// as a client of kubelets, and the key of ServiceAccounts' tokens.
func (a *authority) writePKI(dir string) error {
	files := map[string][]byte{caFile: a.pem}
	served, err := a.server("kube-apiserver")
	if err != nil {
		return err
	}
	files["apiserver.crt"], files["apiserver.key"] = served.cert, served.key
	client, err := a.user("kube-apiserver-kubelet-client", "system:masters")
	if err != nil {
		return err
	}
	files["kubelet-client.crt"], files["kubelet-client.key"] = client.cert, client.key
	key, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		return err
	}
	if files[accountKeyFile], err = keyToPEM(key); err != nil {
		return err
	}
	public, err := x509.MarshalPKIXPublicKey(key.Public())
	if err != nil {
		return err
	}
	files[accountPubFile] = pemOf("PUBLIC KEY", public)
	for name, data := range files {
		if err := os.WriteFile(filepath.Join(dir, name), data, 0o600); err != nil {
			return err
		}
	}
	return nil
}
