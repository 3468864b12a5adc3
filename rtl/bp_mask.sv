// For bp_shift: of each three bits above the lowest result bit's sign, how many must equal the sign when the value is
// shifted by shift_i, counted from their top.
module bp_mask #(
  parameter int unsigned Groups = 14
) (
  input  logic [5:0]          shift_i,
  output logic [2*Groups-1:0] mask_o
);

  for (genvar g = 0; g < Groups; g++) begin : gen_group
    localparam int unsigned Top = 3 * (g + 1);
    assign mask_o[2*g +: 2] = (32'(shift_i) + 32'd3 <= Top) ? 2'd3 :
                              (32'(shift_i) + 32'd2 <= Top) ? 2'd2 :
                              (32'(shift_i) + 32'd1 <= Top) ? 2'd1 : 2'd0;
  end

endmodule
