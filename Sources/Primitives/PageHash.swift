/// A number for the contents of a page of 4 KiB: pages with different numbers differ, equal numbers mean equal contents but for one chance in
/// 2^64, whatever the pages hold.
///
/// Sum of products of neighbouring words, each with a secret added, modulo 2^128: the hash NH of Black, Halevi, Krawczyk, Krovetz and Rogaway,
/// *UMAC: Fast and Secure Message Authentication* (1999), with 64-bit words. The secrets are of this process; the numbers mean nothing outside of it.
public struct PageHash: Equatable, Sendable {
    public static let bytes = 4096
    private static let words = bytes / 8
    private static let secrets: [UInt64] = {
        var source = SystemRandomNumberGenerator()
        return (0..<words).map { _ in source.next() }
    }()

    public private(set) var low: UInt64 = 0
    public private(set) var high: UInt64 = 0

    public init() {}

    /// - Parameter page: of `bytes` bytes, at an address that 8 divides.
    public init(_ page: UnsafeRawBufferPointer) {
        precondition(page.count == PageHash.bytes, "a page has \(PageHash.bytes) bytes")
        guard let start = page.baseAddress else { return }
        PageHash.secrets.withUnsafeBufferPointer { secrets in
            var (low, high): (UInt64, UInt64) = (0, 0), (low2, high2): (UInt64, UInt64) = (0, 0)
            @inline(__always) func word(_ index: Int) -> UInt64 { start.load(fromByteOffset: index &* 8, as: UInt64.self) &+ secrets[index] }
            var at = 0
            while at < PageHash.words {
                let one = word(at).multipliedFullWidth(by: word(at &+ 1)), other = word(at &+ 2).multipliedFullWidth(by: word(at &+ 3))
                let (sum, carry) = low.addingReportingOverflow(one.low)
                (low, high) = (sum, high &+ one.high &+ (carry ? 1 : 0))
                let (sum2, carry2) = low2.addingReportingOverflow(other.low)
                (low2, high2) = (sum2, high2 &+ other.high &+ (carry2 ? 1 : 0))
                at &+= 4
            }
            let (sum, carry) = low.addingReportingOverflow(low2)
            (self.low, self.high) = (sum, high &+ high2 &+ (carry ? 1 : 0))
        }
    }
}
