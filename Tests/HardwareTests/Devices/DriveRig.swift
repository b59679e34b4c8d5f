import CPU
import Hardware
import Primitives

/// A medium in memory. `broken` sectors fail, as a scratched disk's would.
final class MemoryMedium: Medium {
    let sectorBytes: Int
    let sectorCount: UInt64
    var readOnly: Bool
    var bytes: [UInt8]
    var broken: Set<UInt64> = []
    var flushes = 0
    /// Set when somebody asked for what is not there; chips must check first.
    var violated = false

    init(sectors: Int, sectorBytes: Int = 512, readOnly: Bool = false) {
        (self.sectorBytes, sectorCount, self.readOnly) = (sectorBytes, UInt64(sectors), readOnly)
        bytes = [UInt8](repeating: 0, count: sectors * sectorBytes)
        // Every sector is different, and so is every word in it.
        for i in stride(from: 0, to: bytes.count, by: 4) {
            let mix = UInt32(truncatingIfNeeded: i / sectorBytes) &* 2_654_435_761 ^ UInt32(i % sectorBytes)
            for j in 0..<4 { bytes[i + j] = UInt8(truncatingIfNeeded: mix >> UInt32(8 * j)) }
        }
    }

    func sector(_ number: Int, count: Int = 1) -> [UInt8] { Array(bytes[number * sectorBytes..<(number + count) * sectorBytes]) }

    private func range(_ sector: UInt64, _ count: Int) -> Range<Int>? {
        guard count % sectorBytes == 0, sector <= sectorCount, UInt64(count / sectorBytes) <= sectorCount - sector else {
            violated = true
            return nil
        }
        let first = Int(sector)
        guard !broken.contains(where: { $0 >= sector && $0 < sector + UInt64(count / sectorBytes) }) else { return nil }
        return first * sectorBytes..<first * sectorBytes + count
    }

    func read(sector: UInt64, into buffer: UnsafeMutableRawBufferPointer) -> Bool {
        guard let range = range(sector, buffer.count) else { return false }
        bytes.withUnsafeBytes { buffer.copyMemory(from: UnsafeRawBufferPointer(rebasing: $0[range])) }
        return true
    }

    func write(sector: UInt64, from buffer: UnsafeRawBufferPointer) -> Bool {
        guard !readOnly, let range = range(sector, buffer.count) else { return false }
        bytes.replaceSubrange(range, with: buffer)
        return true
    }

    func flush() -> Bool {
        flushes += 1
        return true
    }
}

/// A medium of any size that remembers only where it was touched: for the far end of 2 TiB.
final class EndlessMedium: Medium {
    let sectorBytes = 512
    let sectorCount: UInt64
    let readOnly = false
    var written: [UInt64: [UInt8]] = [:]
    init(sectors: UInt64) { sectorCount = sectors }
    func read(sector: UInt64, into buffer: UnsafeMutableRawBufferPointer) -> Bool {
        for i in 0..<buffer.count / 512 {
            let data = written[sector + UInt64(i)] ?? [UInt8](repeating: 0, count: 512)
            for j in 0..<512 { buffer[i * 512 + j] = data[j] }
        }
        return true
    }
    func write(sector: UInt64, from buffer: UnsafeRawBufferPointer) -> Bool {
        for i in 0..<buffer.count / 512 { written[sector + UInt64(i)] = Array(buffer[i * 512..<(i + 1) * 512]) }
        return true
    }
    func flush() -> Bool { true }
}

/// One chip with wires: time, lines, media, a few MiB of guest memory, and the 8237's channel 2.
final class DriveRig<Chip: Device> {
    var chip: Chip
    var now: Nanoseconds = 1_000_000
    var lines: UInt32 = 0
    var media = MediaBays()
    let memory: GuestMemory
    /// What channel 2 is programmed with: bytes, direction, how far it has come.
    var dmaBytes: [UInt8] = []
    var dmaToMemory = true
    var dmaPosition = 0
    /// At most so many bytes in a burst.
    var dmaBurst = Int.max
    /// Rising edges of IRQ6, 14 and 15.
    var interrupts: [Int: Int] = [:]
    var requests: [BoardRequest] = []

    init(_ chip: Chip) throws {
        self.chip = chip
        memory = try GuestMemory(ramBytes: 4 << 20, extraBytes: 1 << 20)
        memory.setMap([GuestMemory.Window(base: 0, bytes: 4 << 20, read: 0, write: 0)])
    }

    func call<R>(_ body: (inout Chip, inout Wires) -> R) -> R {
        var wires = Wires(now: now, lines: lines, memory: memory, media: media)
        let result = body(&chip, &wires)
        if wires.dreq & 4 != 0 {
            while dmaPosition < dmaBytes.count {
                let count = min(dmaBytes.count - dmaPosition, dmaBurst)
                let (first, last) = (dmaPosition, dmaPosition + count == dmaBytes.count)
                let toMemory = dmaToMemory
                let moved = dmaBytes.withUnsafeMutableBytes { bytes in
                    let piece = UnsafeMutableRawBufferPointer(rebasing: bytes[first..<first + count])
                    return chip.dmaTransfer(channel: 2, toMemory: toMemory, piece, terminalCount: last, &wires)
                }
                dmaPosition += moved
                if moved < count || wires.dreq & 4 == 0 { break }
            }
        }
        for irq in [6, 14, 15] where wires.lines & ~lines & (1 << UInt32(irq)) != 0 { interrupts[irq, default: 0] += 1 }
        lines = wires.lines
        requests += wires.requests
        return result
    }

    func line(_ irq: Int) -> Bool { lines & (1 << UInt32(irq)) != 0 }

    func input(_ port: Port) -> UInt8 {
        now += 300
        return call { $0.read(port, &$1) }
    }
    func output(_ port: Port, _ value: UInt8) {
        now += 300
        call { $0.write(port, value, &$1) }
    }
    func inputWide(_ port: Port, _ size: Int) -> UInt32 {
        now += 300
        return call { $0.readWide(port, size: size, &$1) }
    }
    func outputWide(_ port: Port, _ size: Int, _ value: UInt32) {
        now += 300
        call { $0.writeWide(port, size: size, value, &$1) }
    }

    /// Lets guest time pass to the chip's next deadline. False: it has none.
    func fireNext() -> Bool {
        guard let at = chip.deadline else { return false }
        now = max(now, at)
        call { $0.fire(&$1) }
        return true
    }

    /// Lets guest time pass until the line is up, at most `steps` deadlines. False: it never came.
    func await(irq: Int, steps: Int = 4000) -> Bool {
        for _ in 0..<steps {
            if line(irq) { return true }
            if !fireNext() { return line(irq) }
        }
        return line(irq)
    }
}

/// Sebastiano Vigna's SplitMix64: random numbers that a seed reproduces.
struct DriveRandom: RandomNumberGenerator {
    var state: UInt64
    init(seed: UInt64) { state = seed &* 0x9E37_79B9_7F4A_7C15 &+ 1 }
    mutating func next() -> UInt64 {
        state &+= 0x9E37_79B9_7F4A_7C15
        var z = state
        z = (z ^ (z >> 30)) &* 0xBF58_476D_1CE4_E5B9
        z = (z ^ (z >> 27)) &* 0x94D0_49BB_1331_11EB
        return z ^ (z >> 31)
    }
}
