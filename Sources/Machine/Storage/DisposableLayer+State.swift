import Hardware

// What was written to a disposable disk belongs to the machine's saved state: nothing else has it.
extension DisposableLayer {
    /// Sectors that are kept in a piece of saved state at most.
    static let sectorsInPiece = 128

    /// Every sector that was written, in pieces.
    /// - Returns: false: the scratch file could not be read.
    func eachPiece<E: Error>(_ body: (_ sectors: [UInt64], _ data: [UInt8]) throws(E) -> Void) throws(E) -> Bool {
        var sectors: [UInt64] = [], data: [UInt8] = []
        for (chunk, words) in written.sorted(by: { $0.key < $1.key }) {
            for (index, word) in words.enumerated() where word != 0 {
                for bit in 0..<64 where word >> UInt64(bit) & 1 != 0 {
                    let sector = chunk << 12 + UInt64(index * 64 + bit)
                    var bytes = [UInt8](repeating: 0, count: sectorBytes)
                    guard bytes.withUnsafeMutableBytes({ scratch.read(sector * UInt64(sectorBytes), into: $0) }) else { return false }
                    sectors.append(sector)
                    data += bytes
                    if sectors.count == DisposableLayer.sectorsInPiece {
                        try body(sectors, data)
                        (sectors, data) = ([], [])
                    }
                }
            }
        }
        if !sectors.isEmpty { try body(sectors, data) }
        return true
    }

    /// Nothing has been written.
    func forget() {
        written = [:]
        _ = scratch.zero(0, bytes: sectorCount * UInt64(sectorBytes), discard: true)
    }
}
