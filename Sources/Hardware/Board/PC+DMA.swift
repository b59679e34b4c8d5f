import CPU
import Primitives

extension PC {
    /// Serves DREQ lines through the 8237 until they fall, their channels are masked or nothing moves.
    /// - Parameter position: the chip whose call just ended; a line that it raised is its own.
    func serveDMA(raisedBy position: Int) {
        guard !servingDMA else { return }
        servingDMA = true
        defer { servingDMA = false }
        for channel in 0..<8 where wires.dreq >> UInt8(channel) & 1 != 0 {
            if dreqOwner[channel] < 0 { dreqOwner[channel] = position }
            // A whole disk of 2.88 MB is 5,760 sectors; more bursts than that without an end are a fault of the chip.
            for _ in 0..<8192 where wires.dreq >> UInt8(channel) & 1 != 0 {
                guard let piece = chip(place.dma, DMA.self, { $0.begin(channel: channel) }), burst(channel, piece) > 0 else { break }
            }
            if wires.dreq >> UInt8(channel) & 1 == 0 { dreqOwner[channel] = -1 }
        }
        let requests = wires.dreq
        chip(place.dma, DMA.self) { $0.setRequests(requests) }
    }

    /// One buffer between the chip and guest memory. Returns the bytes moved.
    private func burst(_ channel: Int, _ piece: DMA.Transfer) -> Int {
        let position = dreqOwner[channel]
        guard devices.indices.contains(position) else { return 0 }
        let count = min(piece.count, 4096)
        let terminal = piece.terminal && count == piece.count
        // Downwards the piece ends at its first unit.
        let base = piece.decrement ? piece.address &- Physical(count - piece.unit) : piece.address
        var buffer = piece.toMemory ? [UInt8](repeating: 0, count: count) : memory.read(base, count: count)
        if piece.decrement, !piece.toMemory { PC.reverse(&buffer, unit: piece.unit) }
        begin(position)
        let moved = buffer.withUnsafeMutableBytes {
            devices[position].dmaTransfer(channel: channel, toMemory: piece.toMemory, $0, terminalCount: terminal, &wires)
        }
        let used = min(max(moved, 0), count)
        if piece.toMemory, !piece.verify, used > 0 {
            var bytes = Array(buffer.prefix(used))
            if piece.decrement { PC.reverse(&bytes, unit: piece.unit) }
            memory.write(piece.decrement ? piece.address &- Physical(used - min(piece.unit, used)) : piece.address, bytes)
        }
        wires.trace(.dma, .burst, size: UInt16(truncatingIfNeeded: used), place: UInt32(channel), value: UInt64(base))
        chip(place.dma, DMA.self) { $0.finish(channel: channel, moved: used) }
        finish(position)
        return used
    }

    private static func reverse(_ bytes: inout [UInt8], unit: Int) {
        bytes.reverse()
        guard unit == 2 else { return }
        for i in stride(from: 0, to: bytes.count - 1, by: 2) { bytes.swapAt(i, i + 1) }
    }
}
