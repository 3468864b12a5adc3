# docs/your-own-network.md on a network that this test trains and exports itself.
. "$(dirname "$0")/your_own_network.inc"

# Pictures twice as large as the network's input.
./png_folder photos 2000 400 2
# 1. A network: trained on the folder, in the order of its classes; exported without preprocessing.
cat >train.yaml <<END
model: fmnist-cnn
data: images:photos
held_out: 500
out: net
train: {epochs: 2, lr: 0.05, batch: 32, warmup: 10, pad: 0}
END
bitpress train train.yaml --quiet
mkdir product && cp net/model.onnx product/my.onnx
ln -s "$SCRATCH/photos" product/photos

walk product
jq -e '.best.top1 > 0.5' run/summary.json >/dev/null || fail "accuracy $(jq .best.top1 run/summary.json)"

# A class of the test pictures that training does not know shows before the search, not after it.
cd "$SCRATCH"
mkdir -p product/photos/test/zebra
rc=0
(cd product && bitpress compress my.yaml --out late --quiet) 2>late.txt || rc=$?
rmdir product/photos/test/zebra
[ $rc -eq 2 ] && grep -q 'test/zebra: a class that is not in' late.txt || fail "a wrong class folder: $rc $(cat late.txt)"
