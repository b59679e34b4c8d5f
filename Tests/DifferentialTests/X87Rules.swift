/// What of the x87's state is not compared, and why.
enum X87Rules {
    static let texts = [
        "FCS and FDS: deprecated (SDM Vol. 1, \"x87 FPU Instruction and Operand (Data) Pointers\"); Linux saves the 64-bit form, which drops them",
    ]

    /// Bytes of an FNSTENV or FNSAVE image in memory, as places in the data.
    static func notCompared(imageAt place: Int, wide: Bool) -> [Range<Int>] {
        wide ? [place + 16..<place + 18, place + 24..<place + 26] : [place + 8..<place + 10, place + 12..<place + 14]
    }

    /// Masks of the seven environment words.
    static let environment: [UInt32] = [0xFFFF, 0xFFFF, 0xFFFF, 0xFFFF_FFFF, 0x07FF_0000, 0xFFFF_FFFF, 0]
}
