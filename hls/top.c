/* top: interfaces, memories and the call list. Untested: needs Vitis HLS.
 * The kernel has the name and the arguments of the RTL's; the tool chooses the register offsets. The memories
 * outlive a call: a load start fills them, run starts use them. No clock, hence no CYCLES, LIMIT or ABORT. */
#include "hls/bitpress.h"

void bp_kernel(uint32_t mode, const uint64_t *program, uint64_t program_size, const uint64_t *weight, uint64_t weight_size,
               const uint64_t *input, uint64_t input_size, int32_t *output, uint64_t output_size, uint32_t images,
               uint32_t *status, uint32_t *error_layer, uint32_t identity[HLS_IDENTITY])
{
#pragma HLS INTERFACE m_axi port=program offset=slave bundle=gmem max_read_burst_length=16
#pragma HLS INTERFACE m_axi port=weight offset=slave bundle=gmem max_read_burst_length=16
#pragma HLS INTERFACE m_axi port=input offset=slave bundle=gmem max_read_burst_length=16
#pragma HLS INTERFACE m_axi port=output offset=slave bundle=gmem_out max_write_burst_length=16
#pragma HLS INTERFACE s_axilite port=mode
#pragma HLS INTERFACE s_axilite port=program
#pragma HLS INTERFACE s_axilite port=program_size
#pragma HLS INTERFACE s_axilite port=weight
#pragma HLS INTERFACE s_axilite port=weight_size
#pragma HLS INTERFACE s_axilite port=input
#pragma HLS INTERFACE s_axilite port=input_size
#pragma HLS INTERFACE s_axilite port=output
#pragma HLS INTERFACE s_axilite port=output_size
#pragma HLS INTERFACE s_axilite port=images
#pragma HLS INTERFACE s_axilite port=status
#pragma HLS INTERFACE s_axilite port=error_layer
#pragma HLS INTERFACE s_axilite port=identity
#pragma HLS INTERFACE s_axilite port=return
    static struct hls_engine engine;
#pragma HLS ARRAY_PARTITION variable=engine.act dim=1 complete
#pragma HLS ARRAY_RESHAPE variable=engine.act dim=3 complete
#pragma HLS ARRAY_RESHAPE variable=engine.weight dim=2 complete
#pragma HLS ARRAY_RESHAPE variable=engine.weight dim=3 complete
#pragma HLS ARRAY_RESHAPE variable=engine.coef dim=2 complete
#pragma HLS ARRAY_RESHAPE variable=engine.mul dim=2 complete
#pragma HLS ARRAY_RESHAPE variable=engine.add dim=2 complete
#pragma HLS ARRAY_RESHAPE variable=engine.map dim=2 complete
#pragma HLS ARRAY_RESHAPE variable=engine.layer dim=2 complete
#pragma HLS ARRAY_RESHAPE variable=engine.kword dim=2 complete
#pragma HLS ARRAY_PARTITION variable=engine.pad complete
#pragma HLS ARRAY_PARTITION variable=engine.sum dim=0 complete

    const uint32_t id[HLS_IDENTITY] = {
        REG_ID_MAGIC_VALUE, PROGRAM_MAJOR << 16 | PROGRAM_MINOR, BITPRESS_K << 16 | BITPRESS_N << 8 | BITPRESS_M,
        BITPRESS_ACT_DEPTH, BITPRESS_WEIGHT_DEPTH, BITPRESS_COEF_DEPTH, BITPRESS_SCALE_DEPTH, BITPRESS_KWORD_DEPTH,
        BITPRESS_LAYER_DEPTH, BITPRESS_MAP_DEPTH, BITPRESS_HASH,
    };
identity_registers:
    for (int i = 0; i < HLS_IDENTITY; i++) {
#pragma HLS PIPELINE II=1
        identity[i] = id[i];
    }
    *error_layer = 0;
    if (mode & 1)
        *status = hls_load(&engine, program, program_size, weight, weight_size);
    else
        *status = hls_run(&engine, error_layer, program, program_size, input, input_size, output, output_size, images);
}
