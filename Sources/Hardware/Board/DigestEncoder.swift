import Primitives

/// Feeds everything that a `Codable` value stores into a digest: keys and values in the order in which it encodes them.
///
/// Dictionaries and sets encode in an order that changes from run to run; chips store neither.
struct DigestEncoder: Encoder {
    /// The digest under way, shared by nested containers.
    final class Sink {
        var digest: Digest
        init(_ digest: Digest) { self.digest = digest }
        func take(_ word: UInt64) { digest.combine(word) }
        func take(_ text: String) { digest.combine(Array(text.utf8)) }
    }

    let sink: Sink
    var codingPath: [any CodingKey] { [] }
    var userInfo: [CodingUserInfoKey: Any] { [:] }

    /// Adds a value to `digest`. A value that cannot be encoded adds a marker instead; chips' values always can.
    static func combine(_ value: any Encodable, into digest: inout Digest) {
        let sink = Sink(digest)
        do { try sink.encode(value) } catch { sink.take(.max) }
        digest = sink.digest
    }

    func container<Key: CodingKey>(keyedBy type: Key.Type) -> KeyedEncodingContainer<Key> { KeyedEncodingContainer(Keyed<Key>(sink: sink)) }
    func unkeyedContainer() -> any UnkeyedEncodingContainer { Unkeyed(sink: sink) }
    func singleValueContainer() -> any SingleValueEncodingContainer { Single(sink: sink) }

    private struct Keyed<Key: CodingKey>: KeyedEncodingContainerProtocol {
        let sink: Sink
        var codingPath: [any CodingKey] { [] }
        mutating func encodeNil(forKey key: Key) { sink.take(key.stringValue) }
        mutating func encode<T: Encodable>(_ value: T, forKey key: Key) throws {
            sink.take(key.stringValue)
            try sink.encode(value)
        }
        mutating func nestedContainer<N: CodingKey>(keyedBy: N.Type, forKey key: Key) -> KeyedEncodingContainer<N> {
            sink.take(key.stringValue)
            return KeyedEncodingContainer(DigestEncoder.Keyed<N>(sink: sink))
        }
        mutating func nestedUnkeyedContainer(forKey key: Key) -> any UnkeyedEncodingContainer {
            sink.take(key.stringValue)
            return Unkeyed(sink: sink)
        }
        mutating func superEncoder() -> any Encoder { DigestEncoder(sink: sink) }
        mutating func superEncoder(forKey key: Key) -> any Encoder { DigestEncoder(sink: sink) }
    }

    private struct Unkeyed: UnkeyedEncodingContainer {
        let sink: Sink
        var codingPath: [any CodingKey] { [] }
        var count = 0
        init(sink: Sink) { self.sink = sink }
        mutating func encodeNil() {
            count += 1
            sink.take(0)
        }
        mutating func encode<T: Encodable>(_ value: T) throws {
            count += 1
            try sink.encode(value)
        }
        mutating func nestedContainer<N: CodingKey>(keyedBy: N.Type) -> KeyedEncodingContainer<N> {
            KeyedEncodingContainer(DigestEncoder.Keyed<N>(sink: sink))
        }
        mutating func nestedUnkeyedContainer() -> any UnkeyedEncodingContainer { Unkeyed(sink: sink) }
        mutating func superEncoder() -> any Encoder { DigestEncoder(sink: sink) }
    }

    private struct Single: SingleValueEncodingContainer {
        let sink: Sink
        var codingPath: [any CodingKey] { [] }
        mutating func encodeNil() { sink.take(0) }
        mutating func encode<T: Encodable>(_ value: T) throws { try sink.encode(value) }
    }
}

extension DigestEncoder.Sink {
    fileprivate func encode(_ value: any Encodable) throws {
        switch value {
        case let bytes as [UInt8]: digest.combine(bytes)
        case let words as [UInt16]: words.withUnsafeBytes { digest.combine($0) }
        case let words as [UInt32]: words.withUnsafeBytes { digest.combine($0) }
        case let words as [UInt64]: words.withUnsafeBytes { digest.combine($0) }
        case let number as any FixedWidthInteger: take(UInt64(truncatingIfNeeded: number))
        case let flag as Bool: take(flag ? 1 : 0)
        case let text as String: take(text)
        case let number as Double: take(number.bitPattern)
        case let number as Float: take(UInt64(number.bitPattern))
        default: try value.encode(to: DigestEncoder(sink: self))
        }
    }
}
