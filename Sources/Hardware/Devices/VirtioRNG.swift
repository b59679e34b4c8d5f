import CPU
import Primitives

/// OASIS virtio 1.2, entropy device.
///
/// Source: OASIS *Virtual I/O Device (VIRTIO) Version 1.2* (2022), section 5.4 "Entropy Device"; the generator is xoshiro256** by David
/// Blackman and Sebastiano Vigna (2018), its state filled by SplitMix64.
///
/// A device never reads the host. Either its bytes come from a generator with a seed, so that two runs are identical, or from the host
/// side as an input of the machine: then requests wait until the bytes are there.
///
/// Not implemented: nothing known.
public struct VirtioRNG: VirtioDevice {
    public static let name = "virtio-rng"
    public static let kind = VirtioPCI.Kind(id: 4, pciID: 0x1005, classCode: 0x00_FF_00, queues: [8])
    /// Bytes from the host in store at most.
    public static let poolBytes = 4096
    /// Bytes for one buffer at most; the driver asks again.
    private static let answerBytes = 4096

    public var transport: VirtioPCI
    /// The generator, four words; nil: bytes come from the host.
    public private(set) var generator: [UInt64]?
    /// Bytes from the host, not yet given away.
    public private(set) var pool: [UInt8] = []
    /// A request waits for bytes from the host.
    public private(set) var isWaiting = false

    /// - Parameter seed: of the generator; nil: bytes come from the host.
    public init(slot: Int, seed: UInt64?) {
        transport = VirtioPCI(VirtioRNG.kind, slot: slot)
        guard var state = seed else { return }
        generator = (0..<4).map { _ in
            state &+= 0x9E37_79B9_7F4A_7C15
            var z = state
            z = (z ^ z >> 30) &* 0xBF58_476D_1CE4_E5B9
            z = (z ^ z >> 27) &* 0x94D0_49BB_1331_11EB
            return z ^ z >> 31
        }
    }

    /// The generator goes on: after a reset the guest must not see the same numbers again.
    public mutating func restart() { isWaiting = false }

    public func features(_ wires: Wires) -> UInt64 { 0 }
    public func configuration(_ wires: Wires) -> [UInt8] { [] }

    /// Bytes that the host side should supply now; 0: none.
    public var wanted: Int { isWaiting ? VirtioRNG.poolBytes - pool.count : 0 }

    /// Bytes from the host; more than `wanted` are dropped.
    public mutating func supply(_ bytes: [UInt8], _ wires: inout Wires) {
        guard generator == nil, !bytes.isEmpty else { return }
        pool += bytes.prefix(max(0, VirtioRNG.poolBytes - pool.count))
        isWaiting = false
        step(0, &wires)
        transport.drive(&wires)
    }

    public mutating func serve(_ queue: Int, _ wires: inout Wires) throws(VirtqueueFault) -> Bool {
        var given = 0
        while try transport.queues[queue].hasAvailable(wires.memory) {
            if generator == nil, pool.isEmpty {
                isWaiting = true
                return false
            }
            if given >= 16 * VirtioRNG.answerBytes { return true }
            guard let chain = try transport.take(queue, wires.memory, limit: 1 << 20) else { return false }
            guard chain.readableBytes == 0, chain.writableBytes > 0 else { throw .malformed }
            let written = chain.write(0, bytes(min(chain.writableBytes, VirtioRNG.answerBytes)), wires.memory)
            try transport.use(queue, chain.head, written: written, wires.memory)
            given += 64 + written
        }
        return false
    }

    /// At least one byte and at most `count`.
    private mutating func bytes(_ count: Int) -> [UInt8] {
        guard generator != nil else {
            let taken = Array(pool.prefix(count))
            pool.removeFirst(taken.count)
            return taken
        }
        var result: [UInt8] = []
        while result.count < count {
            let word = next()
            for i in 0..<8 { result.append(UInt8(truncatingIfNeeded: word >> UInt64(8 * i))) }
        }
        return Array(result.prefix(count))
    }

    private mutating func next() -> UInt64 {
        guard var s = generator, s.count == 4 else { return 0 }
        func rotate(_ x: UInt64, _ n: UInt64) -> UInt64 { x << n | x >> (64 - n) }
        let result = rotate(s[1] &* 5, 7) &* 9
        let t = s[1] << 17
        s[2] ^= s[0]
        s[3] ^= s[1]
        s[1] ^= s[2]
        s[0] ^= s[3]
        s[2] ^= t
        s[3] = rotate(s[3], 45)
        generator = s
        return result
    }
}
